/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Two lcores: handing over, ports that come and go under traffic, sleep, start and stop. */

#include "dp_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../core/cu_run.h"

#define CHURN	   60u
#define CHANGES	   200u
#define BROADCASTS (CHURN - CHURN / 4)
#define ROUNDS	   51u

static char err[DP_ERR_SIZE];

/** Sends frames from station 1 to station 2 and counts what arrives, beside the test. */
struct pump {
	struct dpr_north *from, *to;
	atomic_bool stop;
	uint64_t sent, got, wrong;
};

static void
take(struct pump *p, struct dpr_frame *f)
{
	uint8_t want[60];
	uint32_t id;

	while (dpr_poll(p->to, f)) {
		memcpy(&id, f->data + 14, sizeof(id));
		dpr_eth(want, 2, 1, sizeof(want), id);
		p->got++;
		p->wrong += f->len != sizeof(want) || memcmp(f->data, want, sizeof(want)) != 0;
	}
}

static void *
pump_run(void *arg)
{
	struct dpr_frame *f = malloc(sizeof(*f));
	struct pump *p = arg;
	uint8_t frame[60];
	uint32_t i;

	while (f != NULL && !atomic_load(&p->stop)) {
		for (i = 0; i < 32; i++) {
			dpr_eth(frame, 2, 1, sizeof(frame), (uint32_t)p->sent);
			if (!dpr_send(p->from, frame, sizeof(frame), NULL))
				break;
			p->sent++;
		}
		take(p, f);
		usleep(20);
	}
	/* What is on its way. */
	for (i = 0; f != NULL && i < 200; i++) {
		take(p, f);
		usleep(1000);
	}
	free(f);
	return NULL;
}

static uint64_t
all_drops(const struct dp_port_stats *st)
{
	return st->drop_no_switch + st->drop_tx_full + st->drop_handover + st->drop_mtu +
	       st->drop_same_port + st->drop_down + st->drop_runt + st->drop_offload;
}

static void
test_churn(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 256, err, sizeof(err));
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct pump p = {.from = a, .to = b};
	struct dp_port_stats sa, sb;
	pthread_t thread;
	uint32_t i;

	CU_ASSERT_NOT_EQUAL(dp_port_lcore(a->port), dp_port_lcore(b->port));
	dpr_say(b, 1, 2, 0);
	dpr_hears(a, 1, 2, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, pump_run, &p), 0);
	for (i = 0; i < CHURN; i++) {
		struct dpr_north *c = dpr_port("c", sw);
		struct dpr_north *d = dpr_port("d", i % 2 ? sw : NULL);

		/* Addresses that lead to a port when it goes. */
		dpr_say(c, 1, 3, i);
		dpr_hears(a, 1, 3, i);
		if (i % 4 == 0)
			CU_ASSERT_EQUAL(dp_port_patch(c->port, d->port), 0);
		dpr_say(c, 0, 4, i);
		if (i % 4 != 0) /* not patched through: a and b have it */
			dpr_hears(a, 0, 4, i);
		dpr_close(i % 3 ? c : d);
		dpr_close(i % 3 ? d : c);
	}
	atomic_store(&p.stop, true);
	pthread_join(thread, NULL);
	dp_port_stats(a->port, &sa);
	dp_port_stats(b->port, &sb);
	CU_ASSERT(p.sent > 1000);
	/* Nothing is lost that is not counted. */
	CU_ASSERT_EQUAL(sa.rx_packets, p.sent);
	CU_ASSERT_EQUAL(sb.tx_packets, p.got);
	/* c's broadcasts went the same way. */
	CU_ASSERT(p.wrong <= BROADCASTS);
	CU_ASSERT_EQUAL(p.got + all_drops(&sa) + all_drops(&sb), p.sent + BROADCASTS);
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static int node_of_a, node_of_b;

static int
node_of(const struct dp_port *port)
{
	return port->name[0] == 'a' ? node_of_a : node_of_b;
}

/** Norths whose memory is elsewhere: ports move to lcores there, with frames on their way. */
static void
test_nodes(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 256, err, sizeof(err));
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	int (*const real)(const struct dp_port *port) = dp_numa_node_of;
	struct pump p = {.from = a, .to = b};
	struct dp_port_stats sa, sb;
	pthread_t thread;
	uint32_t i;

	dp_plane.lcores[0]->socket = 0;
	dp_plane.lcores[1]->socket = 1;
	dp_numa_node_of = node_of;
	dp_numa_init();
	dpr_say(b, 1, 2, 0);
	dpr_hears(a, 1, 2, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, pump_run, &p), 0);
	for (i = 0; i < 40; i++) {
		node_of_a = i % 2;
		node_of_b = i / 2 % 2;
		vbus_ctl_lock();
		dp_numa_look(a->port);
		vbus_ctl_unlock();
		vbus_ctl_job_flush();
		CU_ASSERT_EQUAL(dp_port_lcore(a->port), dp_plane.lcores[node_of_a]->lcore);
		CU_ASSERT_EQUAL(dp_port_lcore(b->port), dp_plane.lcores[node_of_b]->lcore);
		usleep(2000);
	}
	atomic_store(&p.stop, true);
	pthread_join(thread, NULL);
	dp_port_stats(a->port, &sa);
	dp_port_stats(b->port, &sb);
	CU_ASSERT(p.sent > 1000 && p.got > 0);
	CU_ASSERT_EQUAL(p.wrong, 0);
	CU_ASSERT_EQUAL(sa.rx_packets, p.sent);
	CU_ASSERT_EQUAL(p.got + all_drops(&sa) + all_drops(&sb), p.sent);
	dp_numa_node_of = real;
	dp_plane.lcores[1]->socket = 0;
	dp_numa_init();
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

/** A change takes as long as the lcores need to leave what was before: no longer. */
static void
test_changes(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 65536, err, sizeof(err));
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct dpr_north *c = dpr_open("c", 0, false, false);
	struct pump p = {.from = a, .to = b};
	uint64_t add = 0, del = 0;
	pthread_t thread;
	uint32_t i;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, pump_run, &p), 0);
	for (i = 0; i < CHANGES; i++) {
		uint64_t us = dpr_now_us();

		c->port = dp_port_add_venet(&c->dev, sw, err, sizeof(err));
		CU_ASSERT_PTR_NOT_NULL_FATAL(c->port);
		add += dpr_now_us() - us;
		us = dpr_now_us();
		dp_port_del(c->port);
		del += dpr_now_us() - us;
	}
	c->port = NULL;
	atomic_store(&p.stop, true);
	pthread_join(thread, NULL);
	printf("(add %u us, delete %u us) ", (unsigned int)(add / CHANGES),
		(unsigned int)(del / CHANGES));
	CU_ASSERT(add + del < CHANGES * 100000);
	dpr_close(a);
	dpr_close(b);
	dpr_close(c);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static uint64_t
sleeps(void)
{
	struct dp_lcore_info info[2];
	uint32_t nb = dp_lcore_info(info, 2);

	CU_ASSERT_EQUAL_FATAL(nb, 2);
	return RTE_MIN(info[0].nb_sleeps, info[1].nb_sleeps);
}

static uint64_t
cpu_us(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000u +
	       (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static int
by_size(const void *x, const void *y)
{
	return *(const uint64_t *)x < *(const uint64_t *)y ? -1 : 1;
}

static void
test_sleep(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 256, err, sizeof(err));
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	static struct dpr_frame f;
	uint64_t us[ROUNDS];
	uint64_t before, cpu;
	uint32_t i;

	usleep(20000);
	before = sleeps();
	cpu = cpu_us();
	usleep(500000);
	cpu = cpu_us() - cpu;
	printf("(idle: %.2f %% of a core) ", (double)cpu / 5000);
	CU_ASSERT(cpu < 100000); /* far from polling: this machine is shared */
	CU_ASSERT(sleeps() > before);
	for (i = 0; i < ROUNDS; i++) {
		uint8_t p[60];

		usleep(3000 + i * 100);
		dpr_eth(p, 0, 1, sizeof(p), i);
		us[i] = dpr_now_us();
		CU_ASSERT(dpr_send(a, p, sizeof(p), NULL));
		while (!dpr_poll(b, &f) && dpr_now_us() - us[i] < 1000000)
			;
		us[i] = dpr_now_us() - us[i];
	}
	qsort(us, ROUNDS, sizeof(us[0]), by_size);
	printf("(first frame after idle: median %u us) ", (unsigned int)us[ROUNDS / 2]);
	/* Shorter than the bounded sleep: it was woken. */
	CU_ASSERT(us[ROUNDS / 2] < 5000);
	/* A port that comes while its lcore sleeps wakes it too. */
	for (i = 0; i < 4; i++) {
		struct dpr_north *c = dpr_port("c", sw);

		usleep(5000);
		dpr_say(c, 1, 3, i);
		dpr_hears(a, 1, 3, i);
		dpr_close(c);
	}
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_restart(void)
{
	struct dp_switch *sw;
	struct dpr_north *a, *b;
	struct dp_lcore_info info[2];

	CU_ASSERT_EQUAL(dp_plane_start(DP_MODE_BUSY, 0, err, sizeof(err)), -EBUSY);
	dp_plane_stop();
	dp_plane_stop();
	CU_ASSERT_EQUAL_FATAL(dp_plane_start(DP_MODE_BUSY, 0, err, sizeof(err)), 0);
	sw = dp_switch_create("br0", 300, 256, err, sizeof(err));
	a = dpr_port("a", sw);
	b = dpr_port("b", sw);
	dpr_say(a, 0, 1, 7);
	dpr_hears(b, 0, 1, 7);
	CU_ASSERT_EQUAL(dp_lcore_info(info, 2), 2);
	CU_ASSERT_EQUAL(info[0].nb_ports + info[1].nb_ports, 2);
	CU_ASSERT_EQUAL(info[0].nb_sleeps + info[1].nb_sleeps, 0);
	CU_ASSERT(info[0].idle_cycles != 0 && info[0].busy_cycles + info[1].busy_cycles != 0);
	/* Stopped with ports: they go later. */
	dp_plane_stop();
	CU_ASSERT_EQUAL(dp_plane_start(DP_MODE_BUSY, 0, err, sizeof(err)), -EBUSY);
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(dp_plane_pool(-1)), 0);
	CU_ASSERT_EQUAL(dp_plane_start(DP_MODE_ADAPTIVE, 100, err, sizeof(err)), 0);
}

static int
start(void)
{
	return dp_plane_start(DP_MODE_ADAPTIVE, 100, err, sizeof(err));
}

int
main(int argc, char **argv)
{
	static const struct cu_test tests[] = {
		{"ports come and go under traffic", test_churn},
		{"memory on other nodes", test_nodes},
		{"changes are quick", test_changes},
		{"sleep and wake-up", test_sleep},
		{"stop and start", test_restart},
		{NULL, NULL},
	};
	int ret;

	(void)argc;
	ret = dpr_eal(argv[0]);
	return ret != 0 ? ret : cu_run("vbus-dp lcores", tests, start, dpr_stop);
}
