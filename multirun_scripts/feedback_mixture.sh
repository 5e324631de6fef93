#!/usr/bin/env bash
# Run the mixture of originals and generated images at four shares: how fast does quality fall with the share?
# With lam generated images for each original, a share of lam / (1 + lam) is generated.
#   multirun_scripts/feedback_mixture.sh [local|slurm]       12 chains of 8x8 digits; about 20 minutes on two cores
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=feedback_mixture mixing.lam=0,0.25,0.5,1 seed=0,1,2 "${@:2}"
