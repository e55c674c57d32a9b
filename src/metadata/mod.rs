//! The cluster's metadata: an image, the commands that change it, and how they apply.
