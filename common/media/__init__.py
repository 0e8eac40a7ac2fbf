"""Files in and out: pictures, clips and their lineage, without torch."""
