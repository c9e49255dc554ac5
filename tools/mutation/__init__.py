# SPDX-License-Identifier: Apache-2.0
"""Source mutation: how many faults planted in assay's own sources do its tests notice?"""
