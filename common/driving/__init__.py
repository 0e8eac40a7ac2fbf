"""What Animate builds from a driving video: the performer's pose, face and outline, and the scene without them."""
