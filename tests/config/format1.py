"""Two config.yaml files as format 1 wrote them, and the commands that wrote them."""

GAUSSIAN_COMMAND = ["+experiment=recursive_gaussian", "+scale=tiny", "model.replicas=2", "n_train=8", "n_samples=8"]
GAUSSIAN = """\
name: recursive_gaussian
seed: 0
generations: 2
ratio: 0.1
n_train: 8
n_samples: 8
device: <device>
dry_run: false
features: {}
metrics: {}
probes:
  moments:
    _target_: collapse_lab.probes.moments.Moments
    truth:
      _target_: collapse_lab.datasets.normal.Normal
      replicas: 2
      rows: 8
      reference: 2
      seed: 0
      dimension: 1
      std: 1.0
    process:
      _target_: collapse_lab.probes.process.Process
      mixing:
        _target_: collapse_lab.mixing.replace.Replace
        initial: null
      population:
        _target_: collapse_lab.population.Population
        lineage: scratch
        members:
          model: {}
        exposure: null
      curation:
        _target_: collapse_lab.curation.none.Nothing
      n_train: 8
      n_samples: 8
      generations: 2
sinks: {}
dataset:
  _target_: collapse_lab.datasets.normal.Normal
  replicas: 2
  rows: 8
  reference: 2
  seed: 0
  dimension: 1
  std: 1.0
prompts:
  retrain: all
  base: null
  sets:
    all:
      _target_: collapse_lab.prompts.Everything
model:
  _target_: collapse_lab.models.gaussian.Gaussian
  replicas: 2
  estimator: ml
  covariance: full
trainer:
  _target_: collapse_lab.lightning.Training
  steps: 60
  finetune_steps: 20
  batch_size: 32
  epochs: null
  precision: 32-true
  gradient_clip: 1.0
mixing:
  _target_: collapse_lab.mixing.replace.Replace
  initial: null
population:
  _target_: collapse_lab.population.Population
  lineage: scratch
  members:
    model: {}
  exposure: null
curation:
  _target_: collapse_lab.curation.none.Nothing
store:
  _target_: collapse_lab.store.Store
  root: <store>
  keep: metrics
  every: 200
paths:
  runs: <runs>
  store: <store>
  data: <data>
"""

VAE_COMMAND = ["+experiment=recursive_vae", "+scale=tiny"]
VAE = """\
name: recursive_vae
seed: 0
generations: 2
ratio: 0.1
n_train: 64
n_samples: 64
device: <device>
dry_run: false
features: {}
metrics: {}
probes:
  latent_spread:
    _target_: collapse_lab.probes.latent_spread.LatentSpread
    images: 100
    bootstrap: 200
sinks: {}
dataset:
  _target_: collapse_lab.datasets.digits.Digits
  image_size: null
  reference_fraction: 0.3
  only: null
  templates:
  - a handwritten {}
  - the digit {} in pencil
  - a scan of the number {}
  - somebody wrote {a} by hand
  limit: null
  split_seed: 0
prompts:
  retrain: all
  base: null
  sets:
    all:
      _target_: collapse_lab.prompts.Everything
model:
  _target_: collapse_lab.models.vae.VAE
  channels: 64
  latent: 20
  beta: 1.0
  lr: 0.001
  weight_decay: 1.0e-05
  sampling_batch: 64
trainer:
  _target_: collapse_lab.lightning.Training
  steps: 60
  finetune_steps: 20
  batch_size: 32
  epochs: null
  precision: 32-true
  gradient_clip: null
mixing:
  _target_: collapse_lab.mixing.replace.Replace
  initial: all
population:
  _target_: collapse_lab.population.Population
  lineage: scratch
  members:
    model: {}
  exposure: null
curation:
  _target_: collapse_lab.curation.none.Nothing
store:
  _target_: collapse_lab.store.Store
  root: <store>
  keep: last
  every: 1
paths:
  runs: <runs>
  store: <store>
  data: <data>
"""
