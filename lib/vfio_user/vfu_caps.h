/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_CAPS_H
#define VFU_CAPS_H

/* The JSON part of VERSION; internal to lib/vfio_user. */

#include "vfu_proto.h"

/** Longest JSON text that is parsed; what clients send has some 200 bytes. */
#define VFU_CAPS_JSON_MAX 4096u
/** Room for the JSON text that we send, NUL included. */
#define VFU_CAPS_TEXT_LEN 256

/**
 * Parse a VERSION payload, either way; what the peer does not say gets the protocol's default.
 * Unknown keys are ignored.
 * @return 0; -EINVAL it does not hold together; -E2BIG the text is too long; -ENOMEM.
 */
int vfu_caps_parse(const uint8_t *payload, uint32_t len, struct vfu_caps *caps);

/**
 * Our capabilities as JSON text.
 * @return bytes, the terminating NUL included.
 */
uint32_t vfu_caps_format(char text[VFU_CAPS_TEXT_LEN], int server);

#endif /* VFU_CAPS_H */
