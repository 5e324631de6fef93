#!/usr/bin/env bash
# The paper's two settings, from pretrained weights that come in a package, on paragraphs of Wikipedia: no original block
# for 5 epochs, and a tenth of them, drawn anew each generation, for 10. A seed takes about an hour of two cores.
#   multirun_scripts/recursive_lm.sh [local|slurm] [seed=0,1,2 …]
for setting in "ratio=1 trainer.epochs=5" "ratio=0.9 trainer.epochs=10"; do
  (
    source "$(dirname "$0")/launch.sh"
    # shellcheck disable=SC2086  # two overrides
    launch "${1:-local}" +experiment=recursive_lm $setting dataset=wikipedia dataset.tokenizer=stories15m \
      model.pretrained=stories15m population.lineage=pretrained model.lr=1e-4 trainer.precision=bf16-mixed \
      generations=5 n_train=256 "${@:2}"
  )
done
