/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef CONF_HELP_H
#define CONF_HELP_H

/* A configuration from a string, as if it were the file "F". */

#include <stdlib.h>
#include <string.h>

#include "dp_conf.h"

static inline int
load_string(struct dp_conf *c, const char *text, char err[DP_ERR_SIZE])
{
	char *copy = strdup(text);
	int ret;

	err[0] = '\0';
	dp_conf_init(c);
	ret = dp_conf_load_text(c, "F", copy, strlen(copy), err, DP_ERR_SIZE);
	free(copy);
	return ret;
}

#endif /* CONF_HELP_H */
