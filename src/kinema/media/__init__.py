"""Pictures, video and sound: the only room that decodes, encodes, resizes and mixes. numpy, PyAV and Pillow; no torch.

What holds everywhere in here, said once:

Layout   frames are uint8 RGB (t h w c), a picture is (h w c), top row first; four channels only where alpha is asked for.
         Sound is float32 (c n) in [-1, 1] with its rate beside it.
Range    RGB is full range, 0-255. Video that is written is limited range ("tv": luma 16-235, chroma 16-240) and says so.
Matrix   Written video is BT.709 (matrix, primaries and transfer are tagged), chroma sited left. Read video is turned to RGB with
         the matrix and range that its file states; where it states none: BT.601 up to 1279 x 576, BT.709 above; limited range;
         chroma at the left (MJPEG and MPEG-1: in the middle).
         Transfer and primaries pass through unchanged: there is no tone mapping and no change of gamut in video.
         Pictures with an ICC profile are brought to sRGB.
Time     seconds as float, counted from the file's first frame; rates as `Fraction`.
Files    appear whole under their name or not at all.

Rooms import the module they need: `write`, `read`, `picture`, `probe`, `recipe`, `sheet`, `audio`, `digest`.
"""
