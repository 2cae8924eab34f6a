#!/bin/bash
#SBATCH --job-name=vggbatch
#SBATCH --array=0-7
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Each task of the array scores the images of one list, with a path or URI on each line:
#
#     split --numeric-suffixes --number=l/8 --additional-suffix=.txt images.txt list-
#     sbatch examples/slurm/score.sh --model vgg16-12-int8
#
# A task that fails (status 1) or is requeued runs again on the same output and does what is left;
# one with wrong settings (status 2) does not.
set -uo pipefail

list=$(printf 'list-%02d' "$SLURM_ARRAY_TASK_ID")
vggbatch score "$list.txt" --output "predictions/$list" "$@"
status=$?
if [ "$status" -eq 1 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
