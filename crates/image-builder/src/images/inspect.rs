//! The size, the platform and the layers of an image in the engine.

use bollard::models::{ImageHistoryResponseItem, ImageInspect};
use slipway_domain::image::details::MAX_ITEMS;
use slipway_domain::{ImageDetails, Layer, Platform};

use crate::builder::{Builder, ImageStore};

impl Builder {
    /// Returns the unpacked size of all layers of the image with this `id` in bytes, and its
    /// platform and layers.
    ///
    /// The image exists whether or not the engine can describe it, so a call that fails only leaves
    /// its part out.
    pub(crate) async fn inspect(&self, id: &str) -> (u64, ImageDetails) {
        let (image, history) = tokio::join!(
            self.engine().inspect_image(id),
            self.engine().image_history(id)
        );
        let image = image.unwrap_or_else(|error| {
            tracing::warn!(%error, "Could not inspect the image {id}");
            ImageInspect::default()
        });
        // The store of containerd has no history of an image for another platform in Docker 26.
        let history = history.unwrap_or_else(|error| {
            tracing::warn!(%error, "Could not read the history of the image {id}");
            Vec::new()
        });
        let details = ImageDetails {
            platform: platform_of(&image),
            layers: layers_of(&image, &history),
        };
        (size_of(self.adds_up_layers(), &image, &history), details)
    }

    /// Whether the size of an image has to be added up from its layers. The store of containerd
    /// reports the compressed size, and Podman counts more than the layers.
    fn adds_up_layers(&self) -> bool {
        self.is_podman() || self.image_store() == ImageStore::Containerd
    }
}

/// The unpacked size of all layers in bytes, or 0 if it is unknown. If the history has no sizes, the
/// size that the engine reports is the best that is known.
fn size_of(
    adds_up_layers: bool,
    image: &ImageInspect,
    history: &[ImageHistoryResponseItem],
) -> u64 {
    let bytes = |size: i64| u64::try_from(size).unwrap_or(0);
    let layers: u64 = history.iter().map(|item| bytes(item.size)).sum();
    if adds_up_layers && layers > 0 {
        layers
    } else {
        bytes(image.size.unwrap_or(0))
    }
}

fn platform_of(image: &ImageInspect) -> Option<Platform> {
    let parts = [&image.os, &image.architecture, &image.variant];
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.map(String::as_str).collect();
    parts.join("/").parse().ok()
}

/// The layers, lowest first.
///
/// The engine reports sizes of instructions, not of layers, and some instructions create no layer.
/// If the instructions with a size do not match the layers one to one, all sizes are `None`.
fn layers_of(image: &ImageInspect, history: &[ImageHistoryResponseItem]) -> Vec<Layer> {
    let root = image.root_fs.as_ref();
    let ids = root
        .and_then(|root| root.layers.clone())
        .unwrap_or_default();
    // The history begins with the last instruction, the list of layers with the lowest layer.
    let sizes = history.iter().rev().map(|item| item.size);
    let sizes: Vec<i64> = sizes.filter(|size| *size > 0).collect();
    let is_unambiguous = sizes.len() == ids.len();
    let layers = ids.into_iter().enumerate().map(|(index, diff_id)| Layer {
        diff_id,
        size_bytes: sizes
            .get(index)
            .filter(|_| is_unambiguous)
            .and_then(|size| u64::try_from(*size).ok()),
    });
    layers.take(MAX_ITEMS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ImageInspectRootFs;

    fn sizes(layers: &[&str], history: &[i64]) -> Vec<Option<u64>> {
        let image = ImageInspect {
            root_fs: Some(ImageInspectRootFs {
                layers: Some(layers.iter().map(|id| (*id).to_owned()).collect()),
                ..ImageInspectRootFs::default()
            }),
            ..ImageInspect::default()
        };
        let item = |size: &i64| ImageHistoryResponseItem {
            size: *size,
            ..ImageHistoryResponseItem::default()
        };
        let history: Vec<_> = history.iter().map(item).collect();
        let layers = layers_of(&image, &history);
        layers.into_iter().map(|layer| layer.size_bytes).collect()
    }

    #[test]
    fn the_size_is_that_of_the_unpacked_layers_in_both_stores() {
        let image = ImageInspect {
            size: Some(40),
            ..ImageInspect::default()
        };
        let item = |size: i64| ImageHistoryResponseItem {
            size,
            ..ImageHistoryResponseItem::default()
        };
        let history = [item(0), item(70), item(30)];
        assert_eq!(size_of(false, &image, &history), 40);
        assert_eq!(size_of(true, &image, &history), 100);
        assert_eq!(size_of(true, &image, &[]), 40);
    }

    #[test]
    fn layers_have_sizes_only_if_the_history_is_unambiguous() {
        assert_eq!(sizes(&["a", "b"], &[0, 2, 0, 1]), [Some(1), Some(2)]);
        // An instruction that created an empty layer looks like one that created none.
        assert_eq!(sizes(&["a", "b", "c"], &[0, 2, 0, 1]), [None; 3]);
        assert_eq!(sizes(&[], &[0]), []);
    }
}
