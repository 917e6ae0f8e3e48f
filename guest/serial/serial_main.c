// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Serial ports: driver of the bus, ports and their numbers.
 *
 * A number is a port's until its last reference is dropped, not until its device goes: the tty core
 * knows a tty by its number, and a program may hold a hung-up one open for long. The table's mutex
 * is for probe, open and the end of a port.
 */
#include <linux/slab.h>

#include "serial.h"

/* Between two tries to open a device anew: one that is broken always does not keep us busy. */
#define AGAIN_DELAY HZ

struct workqueue_struct *vserial_wq;

static DEFINE_MUTEX(ports_lock);
static struct vserial *ports[VSERIAL_PORTS];

/* ---- numbers -------------------------------------------------------------------------------- */

/* The lowest that is free. */
static int vserial_number(struct vserial *p)
{
	u32 i;

	mutex_lock(&ports_lock);
	for (i = 0; i < VSERIAL_PORTS && ports[i]; i++)
		;
	if (i < VSERIAL_PORTS) {
		ports[i] = p;
		p->index = i;
	}
	mutex_unlock(&ports_lock);
	return i < VSERIAL_PORTS ? 0 : -ENOSPC;
}

/* With a reference, or NULL. */
struct vserial *vserial_get(u32 index)
{
	struct vserial *p;

	mutex_lock(&ports_lock);
	p = ports[index];
	if (p && (READ_ONCE(p->gone) || !tty_port_get(&p->port)))
		p = NULL;
	mutex_unlock(&ports_lock);
	return p;
}

/* The last reference, of the device or of a tty. Process context. */
void vserial_destroy(struct tty_port *port)
{
	struct vserial *p = to_vserial(port);

	cancel_delayed_work_sync(&p->in.work);
	mutex_lock(&ports_lock);
	ports[p->index] = NULL;
	mutex_unlock(&ports_lock);
	kfree(p);
}

/* ---- a device comes and goes ---------------------------------------------------------------- */

static int vserial_config(struct vserial *p)
{
	struct vserial_config c = {};
	int ret;

	ret = vbus_device_call(p->vdev, VSERIAL_FUNC_CONFIG, &c, sizeof(c));
	if (ret < 0)
		return ret;
	p->entries = min(le32_to_cpu(c.ring_max), VSERIAL_ENTRIES);
	p->buffer = min(le32_to_cpu(c.buffer_max), VSERIAL_BUFFER);
	return p->entries && p->buffer ? 0 : -EPROTO;
}

static int vserial_start(struct vserial *p)
{
	int ret;

	ret = vbus_device_open(p->vdev, VSERIAL_VERSION);
	if (ret == 0)
		ret = vserial_config(p);
	if (ret == 0)
		ret = vserial_in_create(p);
	if (ret == 0)
		ret = vserial_out_create(p);
	if (ret == 0)
		ret = vserial_state_create(p);
	if (ret == 0)
		ret = vbus_device_call(p->vdev, VSERIAL_FUNC_START, NULL, 0);
	if (ret < 0)
		return ret;
	vserial_state_begin(p);
	vbus_signal_enable(p->in.ring.sig);
	vbus_signal_enable(p->out.ring.sig);
	return 0;
}

static void vserial_free_buffer(struct vserial *p, u8 **mem, dma_addr_t dma)
{
	if (*mem)
		vbus_dma_free(p->vdev->dma_dev, p->entries * p->buffer, *mem, dma);
	*mem = NULL;
}

/*
 * From here on nobody touches rings, buffers and the state block. An operation that is under way
 * has the lock, a work item is waited for, and one that is queued late sees `away`.
 */
static void vserial_stop(struct vserial *p)
{
	spin_lock_irq(&p->out.lock);
	p->away = true;
	spin_unlock_irq(&p->out.lock);
	cancel_delayed_work_sync(&p->in.work);
	cancel_work_sync(&p->state_work);
	vbus_device_close(p->vdev);
	/* A notifier that had looked before us may have queued it again. */
	cancel_work_sync(&p->state_work);
	vserial_free_buffer(p, &p->in.mem, p->in.dma);
	vserial_free_buffer(p, &p->out.mem, p->out.dma);
}

static void vserial_end(struct vserial *p)
{
	WRITE_ONCE(p->gone, true);
	cancel_delayed_work_sync(&p->again);
	vserial_stop(p);
	/* Had it just brought the port back, somebody may have found it broken again. */
	cancel_delayed_work_sync(&p->again);
}

/* South broke a ring. Any context, under out.lock. */
void vserial_broken(struct vserial *p)
{
	queue_delayed_work(vserial_wq, &p->again, AGAIN_DELAY);
}

/* What south had not given back is lost, whether it has taken it or not; and what it had filled. */
static void vserial_forget(struct vserial *p)
{
	p->in.begun = false;
	p->in.brk = false;
	p->in.at = 0;
	p->in.len = 0;
	p->out.bytes = 0;
	p->out.begun = 0;
}

static void vserial_again_work(struct work_struct *work)
{
	struct vserial *p = container_of(to_delayed_work(work), struct vserial, again);
	int ret;

	if (READ_ONCE(p->gone) || READ_ONCE(p->vdev->dead))
		return;
	dev_warn(&p->vdev->dev, "a ring is broken, opening the device again\n");
	vserial_stop(p);
	vserial_forget(p);
	ret = vserial_start(p);
	if (ret < 0) {
		dev_err(&p->vdev->dev, "cannot open the device again: %d\n", ret);
		queue_delayed_work(vserial_wq, &p->again, AGAIN_DELAY);
		return;
	}
	spin_lock_irq(&p->out.lock);
	p->away = false;
	spin_unlock_irq(&p->out.lock);
	/* What came before this was passed over. */
	queue_work(vserial_wq, &p->state_work);
	vserial_in_kick(p);
	vserial_out_flush(p);
	tty_port_tty_wakeup(&p->port);
}

static int vserial_probe(struct vbus_device *vdev)
{
	struct device *dev;
	struct vserial *p;
	int ret;

	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	tty_port_init(&p->port);
	p->port.ops = &vserial_port_ops;
	p->vdev = vdev;
	spin_lock_init(&p->out.lock);
	INIT_DELAYED_WORK(&p->in.work, vserial_in_work);
	INIT_WORK(&p->state_work, vserial_state_work);
	INIT_DELAYED_WORK(&p->again, vserial_again_work);
	ret = vserial_number(p);
	if (ret < 0) {
		tty_port_destroy(&p->port);
		kfree(p);
		return ret;
	}
	ret = vserial_start(p);
	if (ret < 0)
		goto end;
	vbus_set_drvdata(vdev, p);
	dev = tty_port_register_device(&p->port, vserial_tty_driver, p->index, &vdev->dev);
	ret = PTR_ERR_OR_ZERO(dev);
	if (ret < 0)
		goto end;
	vserial_console_add(p);
	return 0;
end:
	vbus_set_drvdata(vdev, NULL);
	vserial_end(p);
	tty_port_put(&p->port);
	return ret;
}

/* Also when south is gone: then every call fails, and nothing waits for one. */
static void vserial_remove(struct vbus_device *vdev)
{
	struct vserial *p = vbus_get_drvdata(vdev);
	struct tty_struct *tty;

	vserial_console_del(p);
	tty_unregister_device(vserial_tty_driver, p->index);
	vserial_end(p);
	/* Whoever waits, for bytes, for room or for a carrier. */
	wake_up_interruptible(&p->port.open_wait);
	wake_up_interruptible(&p->port.delta_msr_wait);
	tty = tty_port_tty_get(&p->port);
	if (tty)
		tty_vhangup(tty);
	tty_kref_put(tty);
	vbus_set_drvdata(vdev, NULL);
	tty_port_put(&p->port);
}

static struct vbus_driver vserial_driver = {
	.driver.name = "vbus_serial",
	.type = VSERIAL_TYPE,
	.probe = vserial_probe,
	.remove = vserial_remove,
};

static int __init vserial_init(void)
{
	int ret;

	vserial_wq = alloc_workqueue("vbus_serial", WQ_UNBOUND, 0);
	if (!vserial_wq)
		return -ENOMEM;
	ret = vserial_tty_init();
	if (ret < 0)
		goto err_wq;
	ret = vbus_driver_register(&vserial_driver);
	if (ret < 0)
		goto err_tty;
	return 0;

err_tty:
	vserial_tty_exit();
err_wq:
	destroy_workqueue(vserial_wq);
	return ret;
}
module_init(vserial_init);

static void __exit vserial_exit(void)
{
	vbus_driver_unregister(&vserial_driver);
	vserial_tty_exit();
	destroy_workqueue(vserial_wq);
}
module_exit(vserial_exit);

MODULE_ALIAS_VBUS(VSERIAL_TYPE);
MODULE_AUTHOR("vbus developers");
MODULE_DESCRIPTION("vbus serial ports and consoles");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
