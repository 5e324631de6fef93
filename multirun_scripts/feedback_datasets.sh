#!/usr/bin/env bash
# Run the guided feedback loop on four data sets: do some degrade and then settle, while others go on degrading?
#   multirun_scripts/feedback_datasets.sh [local|slurm]      12 chains of 16x16 images; an estimated day on two cores,
#                                                            and four hours on one GPU
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=feedback +scale=small dataset=mnist,fashion_mnist,cifar10,emoji dataset.image_size=16 \
  seed=0,1,2 "${@:2}"
