#!/usr/bin/env bash
# Run the paper's two settings with its own model and texts: OPT-125m on WikiText-2, without original text for 5 epochs,
# and with a tenth of it for 10 epochs, nine generations and five seeds (arXiv:2305.17493).
#   multirun_scripts/recursive_lm_paper.sh [local|slurm]     10 chains
# The weights and the texts come from the hub; without a network give folders as dataset.name, dataset.tokenizer and
# model.pretrained. It has not been run. It is meant for a GPU: on two cores it would take weeks.
paper() {
  source "$(dirname "$0")/launch.sh"
  launch "$1" +experiment=recursive_lm +scale=paper seed=0,1,2,3,4 "${@:2}"
}
(paper "${1:-local}" ratio=1 trainer.epochs=5 "${@:2}")
(paper "${1:-local}" ratio=0.9 trainer.epochs=10 "${@:2}")
