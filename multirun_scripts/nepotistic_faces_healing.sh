#!/usr/bin/env bash
# Heal Stable Diffusion that was retrained on its own images of faces, from three ratios with three seeds: five
# contaminated iterations, then five on real faces alone. ratio=0 is the chain of the same length that never saw its own
# images. Healing is compared with its generation 10; the metrics of by_group say how it differs between the groups
# (group_recall_sd and group_kid_sd are the standard deviations over groups).
#   multirun_scripts/nepotistic_faces_healing.sh [local|slurm] model.pretrained=FOLDER dataset.root=FACES
# Without these two arguments the folders are ./stable-diffusion and ./faces. 12 cells of ten iterations, of which the
# first five are those of nepotistic_faces.sh and are not run twice in the same store: 1.7e19 operations, or half of
# them. By itself that is an estimated 48 hours on one GPU that computes 1e14 a second (bfloat16:
# trainer.precision=bf16-mixed model.sampling_precision=bf16-mixed), and years on two cores. It has not been timed on a
# GPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_faces name=nepotistic_faces_healing mixing=heal_by_label generations=10 \
  model.pretrained=stable-diffusion dataset.root=faces ratio=0,0.033,0.5,1 seed=0,1,2 "${@:2}"
