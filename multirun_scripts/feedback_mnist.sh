#!/usr/bin/env bash
# Run the feedback loop on MNIST at 28x28 under the paper's three strengths of guidance, and an unconditional model
# beside it, at the size that `verify` judges the claims of the MNIST study at: 2,000 images and 1,500 steps a version.
#   multirun_scripts/feedback_mnist.sh [local|slurm]
# 12 chains of nine versions: an estimated night on two cores (an hour a chain) and under an hour on one GPU with
# trainer.pack=9 (neither was measured).
source "$(dirname "$0")/launch.sh"
mnist() {
  launch "$1" dataset=mnist n_train=2000 n_samples=2000 trainer.steps=1500 seed=0,1,2 "${@:2}"
}
(mnist "${1:-local}" +experiment=feedback model.guidance_scale=1,1.01,2 "${@:2}")
(mnist "${1:-local}" +experiment=feedback_colour 'features=[classifier,pixels]' "${@:2}")
