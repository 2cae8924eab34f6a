#!/bin/bash
#SBATCH --job-name=vggbatch
#SBATCH --array=1-8
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Each task of the array scores its part of the input into an output of its own; a job that waits
# for all of them joins the outputs:
#
#     job=$(sbatch --parsable examples/slurm/score.sh images/ --model vgg16-12-int8)
#     sbatch --dependency=afterok:$job --wrap "vggbatch merge parts/* --output predictions"
#
# A task that fails (status 1) or is requeued runs again on the same output and does what is left;
# one with wrong settings (status 2) does not.
set -uo pipefail

part=$SLURM_ARRAY_TASK_ID
vggbatch score "$@" --part "$part/$SLURM_ARRAY_TASK_COUNT" --output "parts/$part"
status=$?
if [ "$status" -eq 1 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
