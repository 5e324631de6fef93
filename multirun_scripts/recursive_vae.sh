#!/usr/bin/env bash
# Run the VAE of arXiv:2305.17493 on MNIST to generation 20: when does the latent space shrink, when do digits merge?
#   multirun_scripts/recursive_vae.sh [local|slurm]     3 chains of 21 fits of 30 epochs each
# An estimated 17 hours on two cores (a fit with its samples takes 24 minutes on one core), and an estimated two hours
# on one GPU, where it has not been run. It takes 6 GB of memory a chain.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=recursive_vae +scale=paper seed=0,1,2 "${@:2}"
