#!/usr/bin/env bash
# Run the feedback loop under the paper's three strengths of guidance: nine versions, each trained on its predecessor's
# images. The paper's w of (1 + w) eps_c - w eps_u is 1e-10, 0.01 and 1, and guidance_scale is 1 + w. A scale of 4 is a
# case of our own.
#   multirun_scripts/feedback_guidance.sh [local|slurm]      8x8 digits: about 40 minutes on two cores
#   multirun_scripts/feedback_guidance.sh local +scale=small dataset=mnist dataset.image_size=16
#                                                            MNIST at 16x16: an estimated 20 minutes a chain on one GPU
#   multirun_scripts/feedback_guidance.sh slurm +scale=paper MNIST as in the paper; an estimated day a chain on one GPU
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=feedback model.guidance_scale=1,1.01,2,4 seed=0,1,2 "${@:2}"
