#!/usr/bin/env python3
"""Takes the lab down: containers, images, systems."""
import shutil

import lab

lab.require()
if lab.WORK.exists():
    lab.pods("purge")
    shutil.rmtree(lab.WORK)
