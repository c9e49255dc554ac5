/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object that has nothing of the interface. */
int assay_dut_get_no_api(void);
int assay_dut_get_no_api(void) { return 0; }
