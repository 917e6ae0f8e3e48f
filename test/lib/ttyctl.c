/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * What a shell in a guest cannot ask of a tty: ttyctl PORT prints its lines, window size and how many
 * breaks came; ttyctl PORT break sends one. Compiled by the tests (serialport.py).
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <linux/serial.h>

int
main(int argc, char **argv)
{
	struct serial_icounter_struct count = {0};
	struct winsize size = {0};
	int fd, lines = 0;

	if (argc < 2)
		return 2;
	fd = open(argv[1], O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	if (argc > 2) {
		if (tcsendbreak(fd, 0) == 0)
			return 0;
		perror("break");
		return 1;
	}
	if (ioctl(fd, TIOCMGET, &lines) != 0 || ioctl(fd, TIOCGWINSZ, &size) != 0 ||
		ioctl(fd, TIOCGICOUNT, &count) != 0) {
		perror("lines");
		return 1;
	}
	printf("carrier=%d dtr=%d rts=%d cts=%d dsr=%d rows=%u columns=%u breaks=%d\n",
		(lines & TIOCM_CAR) != 0, (lines & TIOCM_DTR) != 0, (lines & TIOCM_RTS) != 0,
		(lines & TIOCM_CTS) != 0, (lines & TIOCM_DSR) != 0, size.ws_row, size.ws_col,
		count.brk);
	return 0;
}
