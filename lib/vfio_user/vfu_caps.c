/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The payload of VERSION: two numbers and JSON text. Any thread; no state.
 *
 * The text comes from a peer: its length is bounded before the parser sees it (which bounds the
 * parser's memory and, at one level per byte, its depth), and numbers are checked before they are
 * narrowed.
 */

#include "vfu_caps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

/* A number below `key`, if it is there. */
static int
caps_number(const json_t *caps, const char *key, uint64_t max, uint64_t *value)
{
	const json_t *v = json_object_get(caps, key);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EINVAL;
	*value = (uint64_t)json_integer_value(v);
	/* Somebody who can do more than fits here can do as much as fits here. */
	if (*value > max)
		*value = max;
	return 0;
}

static int
caps_read(const json_t *root, struct vfu_caps *caps)
{
	uint64_t fds = caps->max_msg_fds, maps = caps->max_dma_maps;
	const json_t *obj, *multi;

	if (!json_is_object(root))
		return -EINVAL;
	obj = json_object_get(root, "capabilities");
	if (obj == NULL)
		return 0;
	if (!json_is_object(obj))
		return -EINVAL;
	if (caps_number(obj, "max_msg_fds", UINT32_MAX, &fds) != 0 ||
		caps_number(obj, "max_dma_maps", UINT32_MAX, &maps) != 0 ||
		caps_number(obj, "max_data_xfer_size", INT64_MAX, &caps->max_data_xfer) != 0 ||
		caps_number(obj, "pgsizes", INT64_MAX, &caps->pgsizes) != 0)
		return -EINVAL;
	caps->max_msg_fds = (uint32_t)fds;
	caps->max_dma_maps = (uint32_t)maps;
	multi = json_object_get(obj, "write_multiple");
	if (multi != NULL && !json_is_boolean(multi))
		return -EINVAL;
	caps->write_multiple = json_is_true(multi);
	return 0;
}

int
vfu_caps_parse(const uint8_t *payload, uint32_t len, struct vfu_caps *caps)
{
	const char *text = (const char *)payload + sizeof(struct vfu_version);
	struct vfu_version version;
	json_error_t err;
	json_t *root;
	size_t text_len;
	int rc;

	if (len < sizeof(version))
		return -EINVAL;
	memcpy(&version, payload, sizeof(version));
	memset(caps, 0, sizeof(*caps));
	caps->major = version.major;
	caps->minor = version.minor;
	caps->max_msg_fds = VFU_DEF_MSG_FDS;
	caps->max_data_xfer = VFU_DEF_XFER;
	caps->max_dma_maps = VFU_DMA_MAPS;

	text_len = len - sizeof(version);
	if (text_len == 0)
		return 0;
	if (text_len > VFU_CAPS_JSON_MAX)
		return -E2BIG;
	if (memchr(text, '\0', text_len) != text + text_len - 1)
		return -EINVAL;
	if (text_len == 1)
		return 0;
	root = json_loadb(text, text_len - 1, 0, &err);
	if (root == NULL)
		return json_error_code(&err) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
	rc = caps_read(root, caps);
	json_decref(root);
	return rc;
}

uint32_t
vfu_caps_format(char text[VFU_CAPS_TEXT_LEN], int server)
{
	int n = snprintf(text, VFU_CAPS_TEXT_LEN,
		"{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
		"\"max_dma_maps\":%u,\"pgsizes\":4096,\"write_multiple\":%s}}",
		VFU_MSG_FDS, VFU_XFER_MAX, VFU_DMA_MAPS, server ? "true" : "false");

	return (uint32_t)n + 1;
}
