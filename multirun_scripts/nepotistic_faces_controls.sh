#!/usr/bin/env bash
# Run the paper's two controls on faces, at three ratios with three seeds: does it prevent collapse to match the colours
# of generated images to those of real ones, or to drop the fifth of them that shows least of its prompt, by CLIP?
#   multirun_scripts/nepotistic_faces_controls.sh [local|slurm] model.pretrained=FOLDER dataset.root=FACES \
#     features.clip.pretrained=CLIP
# Without these arguments the folders are ./stable-diffusion, ./faces and ./clip. CLIP filters, so no metric is computed
# in its features. The filter draws 225 images more in each generation, so that 900 are left. Colours are matched over
# all images; curation=histogram curation.over=group (or image) matches them within a group (or to one real image).
# 27 cells, of which 21 are chains of their own: at ratio 0 no generated image is trained on, and the three curations
# share their fits. The nine chains without a curation are those of nepotistic_faces.sh, and are not run twice in the
# same store. By itself that is 1.5e19 operations: an estimated 42 hours on one GPU that computes 1e14 a second
# (bfloat16: trainer.precision=bf16-mixed model.sampling_precision=bf16-mixed), and years on two cores. It has not been
# timed on a GPU.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_faces name=nepotistic_faces_controls \
  model.pretrained=stable-diffusion dataset.root=faces 'features=[inception,clip]' features.clip.pretrained=clip \
  'metrics.fid.features=[inception]' 'metrics.kid.features=[inception]' 'metrics.fd_infinity.features=[inception]' \
  'metrics.prdc.features=[inception]' 'metrics.by_group.features=[inception]' \
  ratio=0,0.5,1 curation=none,histogram,drop_unlike seed=0,1,2 "${@:2}"
