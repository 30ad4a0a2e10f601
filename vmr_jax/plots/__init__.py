"""The figures of VLANet (Fig. 4 to 6) and PREM (Fig. 6): what they show, and how it is drawn."""
