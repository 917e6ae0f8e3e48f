/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef CU_RUN_H
#define CU_RUN_H

/* One suite of tests from a table; the exit status of main(). */

#include <stddef.h>

#include <CUnit/Basic.h>

struct cu_test {
	const char *name;
	CU_TestFunc fn;
};

static inline int
cu_run(const char *suite_name, const struct cu_test *tests, CU_InitializeFunc init,
	CU_CleanupFunc cleanup)
{
	CU_pSuite suite;
	int failed = 1;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite(suite_name, init, cleanup);
	if (suite == NULL)
		goto out;
	for (; tests->name != NULL; tests++) {
		if (CU_add_test(suite, tests->name, tests->fn) == NULL)
			goto out;
	}
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures() != 0 || CU_get_number_of_suites_failed() != 0 ||
		 CU_get_number_of_tests_run() == 0;
out:
	CU_cleanup_registry();
	return failed;
}

#endif /* CU_RUN_H */
