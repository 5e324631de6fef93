#!/usr/bin/env bash
# Retrain Stable Diffusion on its own images of faces, at seven ratios with three seeds (arXiv:2311.12202).
#   multirun_scripts/nepotistic_faces.sh [local|slurm] model.pretrained=FOLDER dataset.root=FACES
# Without these two arguments the folders are ./stable-diffusion and ./faces; conf/experiment/nepotistic_faces.yaml says
# what they hold. 21 cells, which share the seed images of a seed: 105 fits of 1,000 steps at 512 pixels, each followed
# by 2,850 images (three prompt sets and their grids). That is 1.4e17 operations an iteration and 1.5e19 in all: an
# estimated 42 hours on one GPU that computes 1e14 a second (bfloat16: trainer.precision=bf16-mixed
# model.sampling_precision=bf16-mixed), and years on two cores. It has not been timed on a GPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_faces model.pretrained=stable-diffusion dataset.root=faces \
  ratio=0,0.005,0.033,0.1,0.25,0.5,1 seed=0,1,2 "${@:2}"
