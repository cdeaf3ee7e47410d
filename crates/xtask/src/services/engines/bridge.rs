//! The network of an engine's containers.

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::process::output_of;
use crate::setup;

/// A network bridge, which is deleted when this is dropped.
#[derive(Debug)]
pub(super) struct Bridge(String);

impl Bridge {
    /// Creates a bridge with a network that nothing on this machine uses.
    pub(super) async fn create() -> Result<Self> {
        let ip = setup::program("ip", "iproute2").await?;
        let used = output_of(Command::new(&ip).args(["-4", "-oneline", "address"])).await?;
        let is_free = |number: &u8| !used.contains(&format!(" 10.213.{number}."));
        let number = (1..=u8::MAX).find(is_free);
        let number = number.context("no network is free for another engine")?;
        let bridge = Self(format!("slipway{number}"));
        let address = format!("10.213.{number}.1/24");
        let name = bridge.name();
        for arguments in [
            ["link", "add", name, "type", "bridge"].as_slice(),
            &["address", "add", &address, "dev", name],
            &["link", "set", name, "up"],
        ] {
            output_of(Command::new(&ip).args(arguments)).await?;
        }
        Ok(bridge)
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // A bridge that is left over only takes a network, so an error does not matter.
        let _ = std::process::Command::new("ip")
            .args(["link", "delete", &self.0])
            .status();
    }
}
