#!/usr/bin/env bash
# Run the paper's two settings with a small language model on paragraphs of Wikipedia: no original block for 5 epochs,
# and a tenth of the original blocks, drawn anew in each generation, for 10 epochs. As in the paper, a fit keeps the
# weights with the smallest loss on real validation blocks, and generation 0, the best model on the original task, is
# the base of all later generations. Generation 0 is a GPT of 1.1 million weights trained from scratch on 4,000 blocks
# for 4 epochs; later generations fine-tune it on 300 blocks, at a third of the rate.
# The first setting is run with a repetition penalty of 2 too. Then models from scratch are trained on text that
# accumulates and on text that is replaced (arXiv:2404.01413), with the preset's own 1,000 blocks of Python's reference.
#   multirun_scripts/recursive_lm.sh [local|slurm|basic]    three seeds
# The two settings take about 40 minutes of CPU time, so half an hour on two cores, and the penalty an estimated ten
# minutes more. The comparison of policies is 97,500 steps; at an estimated quarter of a second of CPU time each they
# take eight hours with their sampling, so four hours on two cores. Nothing here has been run on a GPU. The
# texts come in a package of 18.5 MB.
# multirun_scripts/recursive_lm_paper.sh has the paper's own size, for a GPU.
for setting in "ratio=1 trainer.finetune_steps=94 model.repetition_penalty=1,2" "ratio=0.9 trainer.finetune_steps=188"
do
  (
    source "$(dirname "$0")/launch.sh"
    # shellcheck disable=SC2086  # $setting holds overrides, so it has to be split
    launch "${1:-local}" +experiment=recursive_lm $setting seed=0,1,2 generations=5 dataset=wikipedia \
      'n_train={by_generation:[4000,300,300,300,300,300]}' n_samples=300 dataset.train=4000 dataset.reference=500 \
      dataset.validation_fraction=0.05 dataset.validation=128 population.lineage=first trainer.epochs=null \
      trainer.steps=1000 model.optimisation.finetune_lr=3e-4 "${@:2}"
  )
done
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=recursive_lm mixing=accumulate,replace generations=5 store=all seed=0,1,2 "${@:2}"
