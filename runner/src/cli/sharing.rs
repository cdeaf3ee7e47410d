//! Flags that decide what jobs of different projects share on this host, and the notes about it.

use clap::Args;
use slipway_domain::TrustLevel;
use slipway_image_builder::{Backend, Builder, Confinement, LocalImage};

use crate::docker::SharedCaches;
use crate::firewall;

/// What jobs of different projects share. Without any of these flags, it is as little as the engine
/// allows.
#[derive(Debug, Args)]
pub struct SharingFlags {
    /// An image of the engine, such as `tools:1`, that every job may use without asking a registry
    /// for it; `base/*` names all that begin with `base/`, and `*` all images. Repeat the flag or
    /// separate images with commas.
    #[arg(
        long,
        env = "SLIPWAY_LOCAL_IMAGES",
        value_name = "IMAGE",
        value_delimiter = ','
    )]
    pub local_images: Vec<LocalImage>,
    /// Which builds share cache mounts and cached layers in the engine: those of one project with the
    /// same trust level, those of one project, or all.
    #[arg(long, env = "SLIPWAY_SHARE_CACHES", value_enum, default_value_t = SharedCaches::Level)]
    pub share_caches: SharedCaches,
    /// Run scripts in the default network of the engine, where they reach each other and this host,
    /// instead of one network for each job.
    #[arg(long, env = "SLIPWAY_SHARE_NETWORK")]
    pub share_network: bool,
    /// How many processes a script may have; 0 means no limit.
    #[arg(long, env = "SLIPWAY_JOB_PROCESSES", default_value_t = 8192)]
    pub job_processes: u32,
    /// A capability, such as `NET_RAW`, that scripts have in addition to those that installing
    /// packages and running services needs; `default` gives those that the engine gives. Repeat the
    /// flag or separate capabilities with commas.
    #[arg(
        long,
        env = "SLIPWAY_JOB_CAPABILITIES",
        value_name = "CAPABILITY",
        value_delimiter = ','
    )]
    pub job_capabilities: Vec<String>,
    /// Let programs in scripts gain privileges, which `sudo` needs.
    #[arg(long, env = "SLIPWAY_JOB_NEW_PRIVILEGES")]
    pub job_new_privileges: bool,
    /// A trust level of builds that the runner is dedicated to: `default_branch`, `ref` or
    /// `unverified`. Without the flag, it claims jobs of all builds. Repeat the flag or separate
    /// levels with commas.
    #[arg(
        long,
        env = "SLIPWAY_TRUST",
        value_name = "LEVEL",
        value_delimiter = ','
    )]
    pub trust: Vec<TrustLevel>,
}

impl SharingFlags {
    /// The builder with these settings.
    pub(super) fn apply_to(&self, builder: Builder) -> Builder {
        builder
            .with_confinement(self.confinement())
            .with_local_images(self.local_images.iter().cloned().collect())
    }

    /// How scripts are confined.
    fn confinement(&self) -> Confinement {
        let default = Confinement::default();
        let uses_engines = |name: &String| name.eq_ignore_ascii_case("default");
        let capabilities = if self.job_capabilities.iter().any(uses_engines) {
            None
        } else {
            let name = |text: &String| {
                let name = text.to_ascii_uppercase();
                name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
            };
            let mut names = default.capabilities.unwrap_or_default();
            names.extend(self.job_capabilities.iter().map(name));
            Some(names)
        };
        Confinement {
            own_network: !self.share_network,
            max_processes: (self.job_processes > 0).then_some(self.job_processes),
            capabilities,
            new_privileges: self.job_new_privileges,
        }
    }

    /// Prepares the firewall of this host, and returns what jobs of different projects share here,
    /// in sentences for the operator.
    pub(super) async fn notes(&self, builder: &Builder) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(why) = self.reachable_host(builder).await {
            notes.push(why);
        }
        let local = builder.local_images();
        if local.is_all() {
            notes
                .push("Jobs use every image of the engine without asking its registry.".to_owned());
        } else if !local.is_empty() {
            notes.push(
                "Jobs use the images of --local-images without asking a registry.".to_owned(),
            );
        }
        match self.share_caches {
            SharedCaches::All => notes.push("All builds share one cache.".to_owned()),
            SharedCaches::Project => {
                notes.push("All builds of a project share one cache.".to_owned());
            }
            SharedCaches::Level => {}
        }
        match builder.backend() {
            Backend::BuildKit => {
                if builder.steps_reach_each_other().await {
                    notes.push(
                        "Steps of image builds reach each other and this host, because BuildKit in a \
                         Docker Engine runs all of them in its default network (\"icc\": false in \
                         daemon.json separates them from each other)."
                            .to_owned(),
                    );
                }
                notes.push(
                    "A cached step is reused although a secret that it reads has another value."
                        .to_owned(),
                );
            }
            Backend::Classic => notes
                .push("Steps of image builds run in the default network of the engine.".to_owned()),
        }
        notes
    }

    /// Why scripts can reach services of the engine's host; `None` if they cannot.
    async fn reachable_host(&self, builder: &Builder) -> Option<String> {
        if self.share_network {
            return Some("Scripts share the default network of the engine.".to_owned());
        }
        if !builder.is_local() {
            return Some(
                "Scripts reach services of the engine's host, whose firewall is not this host's."
                    .to_owned(),
            );
        }
        if builder.backend() == Backend::Classic {
            // Podman names the interfaces itself.
            return Some("Scripts reach services of this host.".to_owned());
        }
        let applied = if nix::unistd::geteuid().is_root() {
            firewall::apply().await
        } else if firewall::is_marked() {
            Ok(())
        } else {
            Err("the runner may not change the firewall".to_owned())
        };
        applied.err().map(|why| {
            format!(
                "Scripts reach services of this host and the metadata service: {why}; run \
                 `slipway-runner firewall` as root before the runner starts."
            )
        })
    }
}

/// Logs what the host does not separate.
pub(super) fn log(notes: &[String]) {
    if !notes.is_empty() {
        tracing::warn!(
            "Jobs of different projects are not separated in every respect on this host (see \
             docs/security.md): {}",
            notes.join(" ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        sharing: SharingFlags,
    }

    fn parsed(flags: &str) -> SharingFlags {
        Flags::try_parse_from(flags.split(' '))
            .map_or_else(|error| panic!("{error}"), |flags| flags.sharing)
    }

    #[test]
    fn nothing_is_shared_by_default() {
        let flags = parsed("x");
        assert_eq!(flags.confinement(), Confinement::default());
        assert_eq!(flags.share_caches, SharedCaches::Level);
        assert!(flags.local_images.is_empty() && flags.trust.is_empty());
    }

    #[test]
    fn each_flag_restores_what_was_shared() {
        let flags = parsed(
            "x --share-network --job-processes 0 --job-capabilities default --job-new-privileges \
             --share-caches all --local-images * --trust ref,unverified",
        );
        let engines = Confinement {
            own_network: false,
            max_processes: None,
            capabilities: None,
            new_privileges: true,
        };
        assert_eq!(flags.confinement(), engines);
        assert_eq!(flags.trust, [TrustLevel::Ref, TrustLevel::Unverified]);
        let more = parsed("x --job-capabilities cap_net_raw").confinement();
        let names = more.capabilities.unwrap();
        assert!(names.contains(&"NET_RAW".to_owned()) && names.contains(&"CHOWN".to_owned()));
        assert!(Flags::try_parse_from(["x", "--trust", "main"]).is_err());
    }
}
