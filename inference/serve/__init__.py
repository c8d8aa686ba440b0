"""`qmedsam serve`: a server for 3D Slicer, napari and whatever else speaks nnInteractive's protocol.

The only part of the runtime that needs Starlette, uvicorn, blosc2 and prometheus_client (`pip install '.[serve]'`);
they are imported on use.

    cli, arguments        the command
    app                   what each address of the protocol does
    access, bodies        who may ask, and what of a body is read; `limits` has the figures
    connections           a connection whose request does not come is closed
    leases, session       who has a session and until when; what a session holds
    wire                  arrays as they travel
    image, prompts, mask  an image as it is segmented; what is drawn becomes a box; what boxes found becomes a mask
    engine                the one thread that uses the models, and what it encodes ahead
    room                  the memory that all of it has
    metrics               figures for those who run it
"""
