#!/usr/bin/env bash
# Run the paper's two settings on paragraphs of Wikipedia, from pretrained weights that come in a package:
# no original block for 5 epochs, and a tenth of the original blocks, drawn anew in each generation, for 10 epochs.
# A seed takes about an hour on two cores.
#   multirun_scripts/recursive_lm.sh [local|slurm] [seed=0,1,2 …]
for setting in "ratio=1 trainer.epochs=5" "ratio=0.9 trainer.epochs=10"; do
  (
    source "$(dirname "$0")/launch.sh"
    # shellcheck disable=SC2086  # $setting holds two overrides, so it has to be split
    launch "${1:-local}" +experiment=recursive_lm $setting dataset=wikipedia dataset.tokenizer=stories15m \
      model.pretrained=stories15m population.lineage=pretrained model.optimisation.lr=1e-4 \
      trainer.precision=bf16-mixed generations=5 n_train=256 "${@:2}"
  )
done
