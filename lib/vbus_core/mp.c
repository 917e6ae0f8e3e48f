/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#include "vbus_mp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_errno.h>

#define TIMEOUT_S 1

int
vbus_mp_ask(const char *action, const void *ask, size_t ask_len, void *answer, size_t answer_len)
{
	const struct timespec timeout = {.tv_sec = TIMEOUT_S};
	struct rte_mp_msg request = {.len_param = (int)ask_len};
	struct rte_mp_reply reply;
	int ret = -ENOENT;

	snprintf(request.name, sizeof(request.name), "%s", action);
	memcpy(request.param, ask, ask_len);
	if (rte_mp_request_sync(&request, &reply, &timeout) != 0)
		return rte_errno != 0 ? -rte_errno : -EIO;
	if (reply.nb_received == 1 && reply.msgs[0].len_param == (int)answer_len) {
		memcpy(answer, reply.msgs[0].param, answer_len);
		ret = 0;
	}
	free(reply.msgs);
	return ret;
}
