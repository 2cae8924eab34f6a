#!/bin/bash
# ILSVRC2012's validation set as it was downloaded, to a table and a page:
#
#     examples/imagenet/evaluate.sh ILSVRC2012_img_val.tar ILSVRC2012_devkit_t12.tar.gz out
#
# A run that was interrupted continues when the command is repeated. MODEL names another network.
set -euo pipefail

images=$1 labels=$2 output=$3
model=${MODEL:-vgg16-12-int8}

vggbatch plan "$images" --model "$model" --output "$output"
vggbatch evaluate "$images" --labels "ILSVRC2012=$labels" --model "$model" --output "$output"
vggbatch report "$output"
