//! A full disk: new calls are refused and told to come back, live calls and emergency ones go on, and with space it is
//! as before (design §3).

use std::{path::PathBuf, process::Command, time::Instant};

use serde_json::json;

use crate::{
    harness::{Node, Setup, World, check, ms, wait_for},
    ua::{Ua, established, invite},
};

const USA: &str = "12125550100";
const SIZE_MB: usize = 192;
const RESERVE_MB: u64 = 24;

/// A small disk of its own, gone with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> SmallDisk {
        std::fs::create_dir_all(&at).expect("folder");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={SIZE_MB}m"), "tmpfs"]).arg(&at).output().expect("mount");
        assert!(done.status.success(), "a small disk needs root: {}", String::from_utf8_lossy(&done.stderr));
        SmallDisk(at)
    }

    /// Fills it up to what is left.
    fn fill(&self, left_mb: u64) -> PathBuf {
        let file = self.0.join("ballast");
        let free = free_mb(&self.0);
        let bytes = free.saturating_sub(left_mb) << 20;
        std::fs::write(&file, vec![1; bytes as usize]).expect("ballast");
        file
    }
}

fn free_mb(at: &std::path::Path) -> u64 {
    let out = Command::new("df").args(["-m", "--output=avail"]).arg(at).output().expect("df");
    String::from_utf8_lossy(&out.stdout).lines().nth(1).and_then(|l| l.trim().parse().ok()).expect("a figure")
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn s_3_a_full_disk_refuses_new_calls_only() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        println!("not exercised: only root can mount a small disk");
        return;
    }
    let dir = tempfile::tempdir().expect("folder");
    let disk = SmallDisk::mount(dir.path().join("disk"));
    let mut setup = Setup::new(1);
    setup.reserve_mb = RESERVE_MB;
    setup.carrier("alpha")["emergency"] = true.into();
    let net = setup.net;
    let world = World {
        caller: Ua::on("caller", net.caller()),
        carriers: vec![Ua::at("alpha", net.carrier(0))],
        node: Node::start_in(setup, dir, disk.0.join("data")),
    };
    let node = world.node.sip;
    println!("{} MB free with a new node", free_mb(&disk.0));
    let (mut live, _) = established(&world.caller, world.alpha(), node, USA);
    let ballast = disk.fill(RESERVE_MB / 2);
    let refused = wait_for("new calls are refused", ms(10_000), || {
        let leg = invite(&world.caller, node, USA);
        let end = world.caller.expect("a final", |m| m.status().is_some_and(|s| s >= 200) && m.call_id() == leg.call_id || answered_at(&world, m, &leg.call_id));
        world.caller.send(node, &leg.ack_failure(&end));
        (end.status() == Some(503)).then_some(end)
    });
    assert!(refused.has("Retry-After"), "the whole node is meant: {}", refused.text);
    let (mut emergency, _) = established(&world.caller, world.alpha(), node, "911");
    for leg in [&mut emergency, &mut live] {
        world.caller.send(node, &leg.next("BYE", "", ""));
        let bye = world.alpha().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == leg.call_id);
        world.alpha().reply(&bye, 200, "OK", "");
        world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == leg.call_id);
        let (call, _) = world.node.cdrs_at_once(&leg.call_id, Instant::now());
        check(&call, &json!({ "disposition": "answered" }));
    }
    std::fs::remove_file(ballast).expect("space again");
    let freed = Instant::now();
    wait_for("calls pass again", ms(10_000), || {
        let leg = invite(&world.caller, node, USA);
        let end = world.caller.expect("a final", |m| m.status().is_some_and(|s| s >= 200) && m.call_id() == leg.call_id || answered_at(&world, m, &leg.call_id));
        world.caller.send(node, &leg.ack_failure(&end));
        (end.status() == Some(486)).then_some(())
    });
    println!("calls pass {:?} after there was space", freed.elapsed());
}

/// Declines the call where it has come to the carrier; never a final itself.
fn answered_at(world: &World, _: &crate::ua::Msg, call_id: &str) -> bool {
    if let Some(got) = world.alpha().within(ms(20), &|m: &crate::ua::Msg| m.method() == Some("INVITE") && m.call_id() == call_id) {
        world.alpha().reply(&got, 486, "Busy Here", "t");
    }
    false
}
