/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* In the place of dp_rpc_file.c, for requests that are anything: no file of this machine is at stake. */

#include "dp_rpc_internal.h"

bool
dp_rpc_file_check(const char *key, const char *path, struct dp_rpc_error *e)
{
	if (path[0] == '/')
		return true;
	dp_rpc_bad(e, key, "is not absolute");
	return false;
}

json_t *
dp_rpc_config_save(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_file_check("file", dp_rpc_str(params, "file"), e) ? json_object() : NULL;
}
