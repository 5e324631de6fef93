#!/usr/bin/env bash
# Run three strengths of classifier-free guidance at ratio 1: does the strength decide how fast a chain collapses?
#   multirun_scripts/nepotistic_guidance.sh [local|slurm]
# 9 cells and 3 fits of generation 0: about twenty minutes on two cores, an estimated ten minutes on one GPU with
# `basic trainer.pack=9` (not measured).
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=1 model.guidance_scale=1,2,4 seed=0,1,2 "${@:2}"
