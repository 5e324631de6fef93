#!/usr/bin/env bash
# Retrain a latent diffusion pipeline on its own pictures of emoji, at four ratios with three seeds.
#   multirun_scripts/nepotistic_emoji.sh [local|slurm]
# 12 cells, which share the generation 0 of a seed: two and a half hours on two cores, of which each generation 0 takes
# twenty minutes of one core, and each of the 60 later generations three and a half. The pictures (22 MB) and the weights
# of Inception (81 MB) are fetched on first use. It has not been run on a GPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_emoji ratio=0,0.033,0.5,1 seed=0,1,2 "${@:2}"
