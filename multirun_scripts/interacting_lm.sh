#!/usr/bin/env bash
# Let two small language models learn from each other: no exchange (ratio 0), half of the training text from the models,
# and nothing but it (ratio 1), where all, half or none of the real text is private (beta 1, 0.5, 0); then three models so.
# Three seeds each, eight generations.
#   multirun_scripts/interacting_lm.sh [local|slurm|basic]   an estimated 21 hours of CPU time, so a night on two cores
# A member's generation 0 takes 3 to 5 minutes of one core, and each of its later generations about one.
# The paper's own size, with OPT-350m, SciQ and GSM8K, and as third domain ARC, needs GPUs and a network; not run:
#   collapse-lab -m +experiment=interacting_lm +scale=paper ratio=0,0.5,1 mixing.beta=0,0.5,1
#   collapse-lab -m +experiment=interacting_lm_three +scale=paper ratio=0,0.5,1 mixing.beta=0,0.5,1
# The texts come in packages of 30 MB (a third model: 26 MB more), the sentence embeddings in one of 84 MB.
# It has not been run on a GPU.
(
  source "$(dirname "$0")/launch.sh"
  launch "${1:-local}" +experiment=interacting_lm mixing.beta=0.5,1,0 ratio=0,0.5,1 generations=8 seed=0,1,2 "${@:2}"
)
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=interacting_lm_three mixing.beta=0.5,1,0 generations=8 ratio=0,0.5,1 seed=0,1,2 "${@:2}"
