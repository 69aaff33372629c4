from prefect import flow


@flow
def fails():
    raise ValueError("this flow fails on purpose")


if __name__ == "__main__":
    fails()
