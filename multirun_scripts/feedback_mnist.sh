#!/usr/bin/env bash
# Run the feedback loop on MNIST at 28x28 under the paper's three strengths of guidance, and an unconditional model
# beside it, at the size that `verify` judges the claims of the MNIST study at: 1,000 images and 500 steps a version.
#   multirun_scripts/feedback_mnist.sh [local|slurm]
# 12 chains of nine versions: an estimated ten hours on two cores, because on one core a step takes 0.76 s and 1,000 images
# with guidance take six minutes. It has not been run on a GPU.
source "$(dirname "$0")/launch.sh"
mnist() {
  launch "$1" dataset=mnist n_train=1000 n_samples=1000 trainer.steps=500 seed=0,1,2 "${@:2}"
}
(mnist "${1:-local}" +experiment=feedback model.guidance_scale=1,1.01,2 "${@:2}")
(mnist "${1:-local}" +experiment=feedback_colour 'features=[classifier,pixels]' "${@:2}")
