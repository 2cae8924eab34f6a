#!/bin/bash
# An fp32 network in int8, and what that costs: made on some images, measured on others.
#
#     examples/int8/compare.sh net.onnx calibration/ validation/ labels.csv out
#
# OUT/int8/comparison.html shows the images that changed.
set -euo pipefail

network=$1 calibration=$2 validation=$3 labels=$4 output=$5
mkdir -p "$output"
int8=$output/$(basename "${network%.onnx}")-int8.onnx

test -e "$int8" || vggbatch models quantize "$network" "$calibration" --output "$int8"
vggbatch evaluate "$validation" --labels "$labels" --model "$network" --output "$output/fp32"
vggbatch evaluate "$validation" --labels "$labels" --model "$int8" --output "$output/int8"
vggbatch compare "$output/fp32" "$output/int8"
vggbatch report "$output/int8" --against "$output/fp32"
