#!/usr/bin/env bash
# Run the three loops of arXiv:2307.01850 under two sampling biases, on 8x8 digits.
# Then run the loop with fresh real images from a small and from a large first set: does its limit depend on that set?
#   multirun_scripts/mad.sh [local|slurm]     18 chains of nine versions each, and 6 of the second sweep
# An estimated hour and a half on two cores, by the half hour of nine chains of feedback_guidance.sh, and an estimated 20
# minutes on one GPU, where it has not been run. For the paper's MNIST give +scale=paper.
loops() {
  source "$(dirname "$0")/launch.sh"
  launch "$1" +experiment=mad seed=0,1,2 "${@:2}"
}
(loops "${1:-local}" mixing=replace,augment,fresh model.guidance_scale=1,2 "${@:2}")
(loops "${1:-local}" mixing=fresh mixing.initial=50,400 ratio=0.5 n_train=200 model.guidance_scale=1 "${@:2}")
