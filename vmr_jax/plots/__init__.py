"""The figures of VLANet (Fig. 4 to 6), for every system: what they show, and how it is drawn."""
