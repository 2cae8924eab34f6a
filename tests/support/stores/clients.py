"""Clients of stores."""


def fresh():
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
