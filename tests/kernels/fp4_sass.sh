#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fp4_sass.sh CUOBJDUMP TARGETS OBJECT...: does the machine code of the FP4 kernels have the instructions that they are
# written for, target by target, and nowhere else. TARGETS: those of the build, separated by commas.
# Exit 0 yes, 1 no, 77 where there is no cuobjdump or no such target in the build.
set -euo pipefail
cuobjdump=$1 targets=$2
shift 2
command -v "$cuobjdump" > /dev/null || { echo "skipped: cuobjdump of the CUDA toolkit is not installed"; exit 77; }
checked=0 wrong=0

object() { # object NAME: the object file of kernels/cuda/NAME
  local o
  for o in "${objects[@]}"; do [[ $o == */"$1".o ]] && echo "$o" && return; done
  echo "no object file of $1" >&2
  exit 1
}
sass() { "$cuobjdump" -sass -arch "sm_$1" "$(object "$2")"; }
# has TARGET FILE PATTERN...: each pattern is in FILE's code for TARGET, if the build has that.
has() {
  local target=$1 file=$2 code pattern count
  shift 2
  [[ ,$targets, == *,$target,* ]] || { echo "sm_$target is not in this build: $file not looked at"; return; }
  code=$(sass "$target" "$file")
  for pattern in "$@"; do
    count=$(grep -cE -- "$pattern" <<< "$code") || true
    echo "sm_$target $file: $count x $pattern"
    checked=$((checked + 1))
    [ "$count" -gt 0 ] || wrong=$((wrong + 1))
  done
}
# lacks TARGET FILE: its kernels are there for TARGET, and have none of these.
lacks() {
  local code
  [[ ,$targets, == *,$1,* ]] || return 0
  code=$(sass "$1" "$2")
  if ! grep -q 'Function :' <<< "$code" || grep -E 'OMMA|UTC|LDTM|SATFINITE\.E2M1' <<< "$code"; then
    echo "sm_$1 $2: has what it should not, or nothing at all"
    wrong=$((wrong + 1))
  fi
}
objects=("$@")
has 120a gemm_fp4_mma_sync.cu 'OMMA\.SF\.16864\.F32\.E2M1\.E2M1\.UE4M3\.4X ' 'OMMA\.SF\.16864\.F32\.E2M1\.E2M1\.E8 ' 'LDGSTS\.'
has 100a gemm_fp4_tcgen05.cu 'UTCOMMA\.4X ' 'UTCOMMA [^;]' 'UTCCP\.T\.S\.4' 'UTMALDG\.2D' 'UBLKCP' 'LDTM' 'UTCATOMSWS' 'UTCBAR'
has 100a quantize_cvt.cu 'F2FP\.SATFINITE\.E2M1\.F32\.PACK_AB_MERGE_C ' 'F2FP\.SATFINITE\.E2M1\.F32\.PACK_AB_MERGE_C\.RS '
has 120a quantize_cvt.cu 'F2FP\.SATFINITE\.E2M1\.F32\.PACK_AB_MERGE_C '
lacks 100a gemm_fp4_mma_sync.cu
lacks 120a gemm_fp4_tcgen05.cu
lacks 90a gemm_fp4_mma_sync.cu
lacks 90a gemm_fp4_tcgen05.cu
lacks 90a quantize_cvt.cu
[ "$checked" -gt 0 ] || { echo "skipped: this build has no target with FP4 instructions"; exit 77; }
[ "$wrong" -eq 0 ]
