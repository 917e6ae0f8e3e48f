/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbus-dp: the backend that people run. Arguments, configuration, EAL, then the control loop until a
 * signal ends it.
 *
 * Threads (ADR-0010): the control loop runs on the main thread; where the main lcore has to poll,
 * because it is the only one, it runs on a thread of its own. SIGTERM, SIGINT and SIGHUP are blocked
 * everywhere and read from a signalfd in the loop.
 *
 * The configuration is read and checked before EAL starts: a wrong one costs nothing and serves
 * nothing.
 */

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_pdump.h>
#include <rte_version.h>

#include "dp_conf.h"
#include "dp_hugefiles.h"
#include "dp_log.h"
#include "dp_io.h"
#include "dp_loop.h"
#include "dp_notify.h"
#include "dp_plane.h"
#include "dp_rpc.h"
#include "dp_state.h"
#include "vbus_compat.h"
#include "vbus_ctl.h"
#include "vbus_keeper.h"

DP_LOG_TYPE("main");

static struct {
	const char *config;
	const char *control; /* NULL: as the file says */
	const char *keeper;  /* likewise */
	bool check;
	struct dp_conf conf; /* as read at the start */
	int signal_fd;
	struct dp_loop_timer watchdog;
	bool made_run_dir;
	int status;
} dp = {.signal_fd = -1};

/* ---- arguments --------------------------------------------------------------------------------- */

static const char usage[] =
	"vbus-dp [EAL arguments] -- --config FILE [--control SOCKET] [--check-config]\n"
	"\n"
	"  -c, --config FILE     what to serve, vbus-dp.conf(5)\n"
	"  -s, --control SOCKET  for vbusctl(8) (as the file says, " DP_CONTROL_PATH ")\n"
	"  -k, --keeper SOCKET   give links to and take them from vbus-keeper(8) (as the file "
	"says)\n"
	"  -C, --check-config    only check FILE: say nothing and exit 0, or what is wrong and "
	"exit 1\n"
	"  -h, --help            this text\n"
	"  -V, --version         version of vbus-dp and of DPDK\n";

/* One line, and the exit status. */
static int
refuse(const char *what, const char *why)
{
	fprintf(stderr, "vbus-dp: %s%s%s (--help says more)\n", what, why[0] != '\0' ? ": " : "",
		why);
	return EXIT_FAILURE;
}

/* @return < 0: go on; else the exit status */
static int
arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"control", required_argument, NULL, 's'},
		{"keeper", required_argument, NULL, 'k'},
		{"check-config", no_argument, NULL, 'C'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	char why[DP_ERR_SIZE];
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":c:s:k:ChV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			dp.config = optarg;
			break;
		case 's':
			dp.control = optarg;
			break;
		case 'k':
			dp.keeper = optarg;
			break;
		case 'C':
			dp.check = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			printf("vbus-dp %s, %s\n", VBUS_VERSION, rte_version());
			return EXIT_SUCCESS;
		case ':':
			return refuse(argv[optind - 1], "needs a value");
		default:
			return refuse(argv[optind - 1], "unknown option, EAL's stand before a --");
		}
	}
	if (optind < argc)
		return refuse(argv[optind], "unexpected, EAL's arguments stand before a --");
	if (dp.config == NULL)
		return refuse("--config FILE is missing", "");
	if (dp.control != NULL && dp_socket_path_check(dp.control, why, sizeof(why)) != 0)
		return refuse("--control", why);
	if (dp.keeper != NULL && dp_socket_path_check(dp.keeper, why, sizeof(why)) != 0)
		return refuse("--keeper", why);
	return -1;
}

/* The file, with what the command line says instead. */
static int
load(struct dp_conf *conf, char *err, size_t err_size)
{
	int ret;

	dp_conf_init(conf);
	ret = dp_conf_load(conf, dp.config, err, err_size);
	if (ret == 0 && dp.control != NULL)
		snprintf(conf->control, sizeof(conf->control), "%s", dp.control);
	if (ret == 0 && dp.keeper != NULL)
		snprintf(conf->keeper, sizeof(conf->keeper), "%s", dp.keeper);
	return ret;
}

/* ---- handlers of the loop ---------------------------------------------------------------------- */

/* What the file says of the control socket; the old one stays when that cannot be had. */
static int
move_control(const struct dp_conf *want, char *err, size_t err_size)
{
	int ret = dp_rpc_move(dp_conf_control(want), err, err_size);

	if (ret == 0)
		dp_state_set_control(want->control);
	return ret;
}

static void
reload(void)
{
	struct dp_conf want;
	char err[DP_ERR_SIZE];
	int ret;

	DP_LOG(NOTICE, "reading %s again", dp.config);
	dp_notify_reloading();
	ret = load(&want, err, sizeof(err));
	if (ret == 0)
		ret = dp_state_apply(&want, dp.config, err, sizeof(err));
	if (ret == 0)
		ret = move_control(&want, err, sizeof(err));
	dp_conf_free(&want);
	if (ret != 0)
		DP_LOG(ERR, "%s", err);
	else
		DP_LOG(NOTICE, "serving what %s says", dp.config);
	dp_notify(ret != 0 ? "READY=1\nSTATUS=serving; the last reload failed, see the log"
			   : "READY=1\nSTATUS=serving");
}

static void
on_signal(int fd, uint32_t events, void *arg)
{
	struct signalfd_siginfo si;

	(void)events;
	(void)arg;
	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP) {
			reload();
		} else {
			DP_LOG(NOTICE, "stopping: %s", strsignal((int)si.ssi_signo));
			dp_loop_stop();
		}
	}
}

static void
on_watchdog(struct dp_loop_timer *t, void *arg)
{
	(void)arg;
	dp_notify("WATCHDOG=1");
	dp_loop_timer_arm(t, dp_notify_watchdog_ns());
}

/* ---- serving ----------------------------------------------------------------------------------- */

/* DP_RUN_DIR is ours to make; the check of paths relies on it. */
static int
run_dir(char *err, size_t err_size)
{
	size_t len = strlen(DP_RUN_DIR "/");
	const struct dp_bus_conf *b;
	bool wanted = dp.conf.control[0] == '\0' ||
		      strncmp(dp.conf.control, DP_RUN_DIR "/", len) == 0;

	TAILQ_FOREACH (b, &dp.conf.buses, next)
		wanted = wanted || strncmp(b->socket, DP_RUN_DIR "/", len) == 0;
	if (!wanted || access(DP_RUN_DIR, F_OK) == 0)
		return 0;
	if (mkdir(DP_RUN_DIR, 0755) == 0) {
		dp.made_run_dir = true;
		return 0;
	}
	snprintf(err, err_size, "%s: cannot be made: %s", DP_RUN_DIR, strerror(errno));
	return -errno;
}

static unsigned int
count_devices(void)
{
	const struct dp_device_conf *d;
	unsigned int n = 0;

	TAILQ_FOREACH (d, &dp_state_conf()->devices, next)
		n++;
	return n;
}

/* Links come from there, and stay there when this process goes. */
static int
keeper_connect(char *err, size_t err_size)
{
	char why[DP_ERR_SIZE];
	int ret;

	if (dp.conf.keeper[0] == '\0')
		return 0;
	vbus_ctl_lock();
	ret = vbus_keeper_connect(dp.conf.keeper, why, sizeof(why));
	vbus_ctl_unlock();
	if (ret != 0)
		snprintf(err, err_size, "%s: keeper: %.400s", dp.config, why);
	return ret;
}

static void
keeper_leave(void)
{
	/* What devices have beside their links is the next process's from then on. */
	if (dp.conf.keeper[0] != '\0')
		dp_io_stop();
	vbus_ctl_lock();
	vbus_keeper_leave();
	vbus_ctl_unlock();
}

/* Everything between the start of the lcores and their end, on the thread that has the loop. */
static void
serve(void)
{
	const char *control = dp_conf_control(&dp.conf);
	char err[DP_ERR_SIZE];
	int ret;

	dp_state_init(&dp.conf);
	ret = run_dir(err, sizeof(err));
	if (ret == 0)
		ret = keeper_connect(err, sizeof(err));
	if (ret == 0)
		ret = dp_state_apply(&dp.conf, dp.config, err, sizeof(err));
	vbus_ctl_lock();
	if (ret == 0)
		vbus_keeper_forget_rest();
	vbus_ctl_unlock();
	if (ret == 0)
		ret = dp_rpc_start(control, err, sizeof(err));
	if (ret == 0) {
		DP_LOG(NOTICE, "serving %s: %u devices, %u polling lcores, control socket %s",
			dp.config, count_devices(),
			rte_lcore_count() > 1 ? rte_lcore_count() - 1 : 1, control);
		dp_notify("READY=1\nSTATUS=serving");
		dp.watchdog.fn = on_watchdog;
		if (dp_notify_watchdog_ns() != 0)
			dp_loop_timer_arm(&dp.watchdog, 0);
		ret = dp_loop_run();
		if (ret != 0)
			snprintf(err, sizeof(err), "event loop: %s", strerror(-ret));
		dp_notify("STOPPING=1\nSTATUS=stopping");
	}
	if (ret != 0) {
		fprintf(stderr, "%s\n", err);
		dp.status = EXIT_FAILURE;
	}
	dp_rpc_stop();
	keeper_leave();
	dp_state_clear();
	dp_plane_stop();
	if (dp.made_run_dir)
		rmdir(DP_RUN_DIR); /* not when others have put something there */
}

static void *
serve_thread(void *arg)
{
	(void)arg;
	serve();
	return NULL;
}

/* @return 0, or a negative errno and err: nothing runs then */
static int
serve_beside_lcores(char *err, size_t err_size)
{
	pthread_t tid;
	int ret = dp_plane_start(dp.conf.mode, dp.conf.idle_us, err, err_size);

	if (ret != 0)
		return ret;
	if (rte_lcore_count() > 1) {
		serve();
		return 0;
	}
	ret = vbus_ctrl_thread_create(&tid, "vbus-dp-control", serve_thread, NULL);
	if (ret != 0) {
		snprintf(err, err_size, "control thread: %s", strerror(-ret));
		dp_plane_stop();
		return ret;
	}
	dp_plane_main_loop();
	pthread_join(tid, NULL);
	return 0;
}

static int
signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	return pthread_sigmask(SIG_BLOCK, set, NULL) == 0 ? 0 : -1;
}

/* From a started EAL to its end. */
static int
run(const sigset_t *set)
{
	char err[DP_ERR_SIZE];
	int ret = dp_loop_init();

	if (ret != 0) {
		fprintf(stderr, "vbus-dp: event loop: %s\n", strerror(-ret));
		return EXIT_FAILURE;
	}
	dp.signal_fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (dp.signal_fd < 0 || dp_loop_add(dp.signal_fd, EPOLLIN, on_signal, NULL) == NULL) {
		fprintf(stderr, "vbus-dp: signals: %s\n", strerror(errno));
		dp_loop_fini();
		return EXIT_FAILURE;
	}
	ret = serve_beside_lcores(err, sizeof(err));
	if (ret != 0) {
		fprintf(stderr, "vbus-dp: %s\n", err);
		dp.status = EXIT_FAILURE;
	}
	dp_loop_fini();
	close(dp.signal_fd);
	return dp.status;
}

int
main(int argc, char **argv)
{
	char err[DP_ERR_SIZE];
	int eal = 0, status;
	sigset_t set;

	/* EAL's arguments end at the "--"; without one they are all ours. */
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0) {
			eal = i;
			break;
		}
	if (eal > 0)
		argv[eal] = argv[0];
	status = arguments(argc - eal, argv + eal);
	if (status >= 0)
		return status;
	if (load(&dp.conf, err, sizeof(err)) != 0) {
		fprintf(stderr, "%s\n", err);
		dp_conf_free(&dp.conf);
		return EXIT_FAILURE;
	}
	if (dp.check) {
		dp_conf_free(&dp.conf);
		return EXIT_SUCCESS;
	}
	if (signals(&set) != 0) {
		fprintf(stderr, "vbus-dp: signals cannot be blocked\n");
		return EXIT_FAILURE;
	}
	if (eal > 0)
		argv[eal] = NULL;
	if (rte_eal_init(eal > 0 ? eal : 1, argv) < 0) {
		fprintf(stderr, "vbus-dp: EAL cannot start: %s\n", rte_strerror(rte_errno));
		dp_conf_free(&dp.conf);
		return EXIT_FAILURE;
	}
	if (rte_pdump_init() != 0)
		DP_LOG(NOTICE, "no dpdk-dumpcap: %s", rte_strerror(rte_errno));
	dp_hugefiles_find();
	status = run(&set);
	dp_conf_free(&dp.conf);
	dp_hugefiles_find(); /* those that came later */
	rte_pdump_uninit();
	rte_eal_cleanup();
	dp_hugefiles_remove();
	return status;
}
