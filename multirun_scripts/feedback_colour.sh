#!/usr/bin/env bash
# Run the unguided feedback loop on colour images, in Inception features: how do flowers and birds degrade?
#   multirun_scripts/feedback_colour.sh [local|slurm]        the birds of CIFAR-10; an estimated day on two cores
#   multirun_scripts/feedback_colour.sh local dataset=flowers102 dataset.root=FOLDER dataset.image_size=32
#   multirun_scripts/feedback_colour.sh slurm +scale=paper dataset.root=FOLDER      the paper's size, for a GPU
# A chain has nine fits of 500 steps, or of 40,960 steps at the paper's size. Neither has been run on a GPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=feedback_colour seed=0,1,2 "${@:2}"
