#!/usr/bin/env bash
# Run the mixture of originals and generated images at four shares: how fast does quality fall with the share?
# With lam generated images for each original, a share of lam / (1 + lam) is generated. Then run the originals alone and
# the largest share with three times the steps: does longer training rescue the fourth version?
#   multirun_scripts/feedback_mixture.sh [local|slurm]       12 chains of 8x8 digits, and 6 of longer fits
# About 20 minutes on two cores for the 12 chains (19,500 steps), and by their steps an estimated half an hour more for
# the 6 (31,500 steps). It has not been run on a GPU.
mixture() {
  source "$(dirname "$0")/launch.sh"
  launch "$1" +experiment=feedback_mixture seed=0,1,2 "${@:2}"
}
(mixture "${1:-local}" mixing.lam=0,0.25,0.5,1 "${@:2}")
(mixture "${1:-local}" mixing.lam=0,1 trainer.steps=1500 "${@:2}")
